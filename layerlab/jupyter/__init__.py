"""JupyterLab for the notebooks: `serve` runs it until Ctrl-C, and `run_notebooks` saves the notebooks' outputs.

>>> import nbformat
>>> from layerlab.jupyter.run_notebooks import tidy
>>> notebook = nbformat.v4.new_notebook(metadata={"widgets": {}})
>>> tidy(notebook)  # what differs from run to run is not saved
>>> notebook.metadata.language_info
{'name': 'python'}
"""
