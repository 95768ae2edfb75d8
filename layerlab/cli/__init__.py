"""The commands of ``./lab``: each is ``command`` in the module of its name, and ``up`` is what runs without any.

They read options, call the rooms below and print; ``main`` imports the one that is asked for. So a command pays for
what it needs itself: pandas alone takes longer to load than an image to look at.

>>> from click.testing import CliRunner
>>> from layerlab.cli.main import cli
>>> CliRunner().invoke(cli, ["new", "--help"], prog_name="./lab").output.splitlines()[0]
'Usage: ./lab new [OPTIONS] DIR'
"""
