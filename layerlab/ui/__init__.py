"""What people are shown: progress, tables, amounts in words, and text from elsewhere made harmless.

* `progress` is what work reports; `displays` shows it in a terminal, in a log or in a notebook
* `tables` prints results; `streams` sees to where they go, whatever becomes of that
* `units` says sizes, durations, counts and lists in words; `text` makes harmless what others wrote

Nothing here needs a package of ``.venv`` before something is shown.

>>> from layerlab.ui import text, units
>>> f"{text.one_line(chr(27) + '[31mRUN  make')} stores {units.how_large(5_240_000)}"
'RUN make stores 5.2 MB'
"""
