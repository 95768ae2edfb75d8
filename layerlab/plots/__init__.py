"""Pictures, each of which answers one question about images or builds.

==============  =======================================================================
`sizes`         How large is each image?
`parts`         Where did the megabytes go?
`staircase`     Which line costs, and why does a later rm not help?
`waste`         Which stored bytes can no container see, and why?
`owners`        What is in the image?
`rebuilds`      Why does the order of the lines matter?
`dockerfile`    What should I edit?
`flow`          What did the extra stage buy?
`stages`        Which stage waits for which?
`measures`      What is different when they run?
`surfaces`      What does an attacker find?
`access`        Who can do what to whom?
`beside`        How do your layers compare?
==============  =======================================================================

Each takes what it draws as a DataFrame, bytes in bytes (shown in MB, 10^6), and returns a `Picture`, which a notebook
shows by itself. A table that cannot be drawn is a `UsageError`, which says what is wrong with it.

>>> import pandas as pd
>>> sizes(pd.DataFrame({"name": ["single", "optimized"], "bytes": [1_800_000_000, 270_000_000]}))
<Picture: How large is each image?>
"""

from layerlab.plots.build_costs import dockerfile, rebuilds, stages
from layerlab.plots.images import access, flow, measures, owners, parts, sizes, surfaces
from layerlab.plots.layers import beside, staircase, waste
from layerlab.plots.picture import Picture

__all__ = [
    "Picture", "access", "beside", "dockerfile", "flow", "measures", "owners", "parts", "rebuilds", "sizes",
    "stages", "staircase", "surfaces", "waste",
]  # fmt: skip
