"""The interactive explorer of an image's files: in a notebook, and in the HTML report.

* `data` packs what is shown, and bounds it
* `bundle` is the JavaScript, whole. Its modules are in ``assets/``: `data` and `tally` are what an image has, and
  what of it is shown; `state` is what is chosen; `search`, `items`, `layout`, `colours` and `words` are functions of
  these; `view` draws, with `frame`, `panels`, `map` and `painter`; `explorer` leads from what users do to the view
* `widget` is what a notebook shows

Nothing is fetched from anywhere: not from the lab's own folder either, once a page is written or a widget is made.
"""
