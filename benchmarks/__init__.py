"""What the lab costs, beside what one would otherwise use: ``python -m benchmarks``.

Each part is a module with a function ``rows(setting: Setting) -> Iterator[Row]``; `benchmarks.rows` says what these
are, `PARTS` in ``benchmarks.__main__`` names the parts in their order.
"""
