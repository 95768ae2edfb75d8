"""The interactive explorer of an image's files: in a notebook, and in the HTML report.

* `data` packs what is shown; `origins` says which line and stage entries come from; `thinning` bounds how much it is
* `bundle` is the JavaScript, whole; its parts and d3-hierarchy are in ``assets/``
* `widget` is what a notebook shows; `still` is what is left where nothing can run

Nothing is fetched from anywhere: not from the lab's own folder either, once a page is written or a widget is made.
"""
