"""One module for each group of commands; ``layerlab.cli.main`` imports the one that is asked for.

So a command pays for what it needs itself: pandas alone takes longer to load than an image to look at.
"""
