"""A lab for each learner: JupyterHub's configuration for `./lab class up`. Copy it, and give `--config COPY`.

It says who may log in, how, and what each learner may take. Any other setting of JupyterHub
(https://jupyterhub.readthedocs.io) or DockerSpawner may be added. `./lab class up` sets the variables LAB_CLASS_...
"""

import json
import os
import sys
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821  # JupyterHub's

# ---- Who: names as they log in, and one password for trying it. Whoever knows it can be any of them: docs/class.md
# says how a class logs in with its school's accounts.
c.JupyterHub.authenticator_class = "shared-password"
c.Authenticator.allowed_users = {"anna", "ben"}
c.SharedPasswordAuthenticator.user_password = os.environ["LAB_CLASS_PASSWORD"]

# ---- Instructors: {"carla"} may log in with a password of their own, open any learner's lab, and see the overview:
# at /services/overview/, which of the seven tasks each learner has passed, and since when. Learners' own checks send
# it, and they are told so: before they log in, and after each check. Without an instructor nothing is sent.
c.Authenticator.admin_users = instructors = set[str]()
c.SharedPasswordAuthenticator.admin_password = os.environ["LAB_CLASS_ADMIN_PASSWORD"]

# ---- Where: on this machine alone. For a class: "https://0.0.0.0:443", and the two files of a certificate.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
# c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = "/etc/class/fullchain.pem", "/etc/class/privkey.pem"

# ---- How much: of a learner's notebooks, engine and builds together. docs/class.md says how to limit the disk.
c.DockerSpawner.mem_limit = memory = "3G"
c.DockerSpawner.cpu_limit = 2.0
processes = 1024
idle = 3600  # seconds after which the container of a learner who does nothing ends; the work stays

# ---- A learner's container: a notebook server and the learner's own engine, without root. Their home and what their
# engine has are volumes, which outlive it.
c.JupyterHub.spawner_class = "docker"
c.DockerSpawner.image = os.environ["LAB_CLASS_IMAGE"]
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.name_template = f"{os.environ['LAB_CLASS_NAME']}-{{username}}"
c.DockerSpawner.remove = True
c.DockerSpawner.notebook_dir = "/home/learner/lab"
c.Spawner.default_url = "/lab/tree/notebooks/00-start.ipynb"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
c.Spawner.args = ["--LabApp.extra_labextensions_path=/home/learner/lab/layerlab/jupyter/labextensions"]
work = {"type": "volume", "labels": {"layerlab.class": os.environ["LAB_CLASS_NAME"]}}
c.DockerSpawner.mounts = [
    {"source": f"{c.DockerSpawner.name_template}-home", "target": "/home/learner", **work},
    {"source": f"{c.DockerSpawner.name_template}-engine", "target": "/engine", **work},
    {"source": os.environ["LAB_CLASS_BASES"], "target": "/bases", "type": "volume", "read_only": True},
]
c.DockerSpawner.extra_host_config = {
    "pids_limit": processes,
    "memswap_limit": memory,  # memory and swap together: no swap
    # Of what root may do: to become the learner, to give them /dev/net/tun, and what newuidmap and newgidmap do.
    "cap_drop": ["ALL"],
    "cap_add": ["SETUID", "SETGID", "CHOWN"],
    # An engine without root mounts and unshares in a user namespace, which the usual filters refuse.
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "devices": ["/dev/net/tun:/dev/net/tun:rw"],  # for slirp4netns, the network of the learner's engine
}
c.DockerSpawner.extra_create_kwargs = {
    "labels": {"layerlab.container": os.environ["LAB_RUN_ID"]},  # the lab removes what a hub that was killed has left
    # While parts of /proc are hidden, the kernel mounts no other one in a user namespace, and no container starts.
    "host_config": {"MaskedPaths": [], "ReadonlyPaths": []},
}

# ---- The network: learners cannot reach each other, only this machine, with the hub, and what lies outside.
c.DockerSpawner.network_name = os.environ["LAB_CLASS_NAME"]
c.DockerSpawner.use_internal_ip = True
c.JupyterHub.hub_ip = here = os.environ["LAB_CLASS_GATEWAY"]  # this machine, as learners' containers reach it
c.JupyterHub.proxy_class = "traefik_file"
c.TraefikProxy.traefik_log_level = "ERROR"

# ---- Whoever is gone gives back memory.
python = ["setpriv", "--pdeathsig", "TERM", sys.executable]  # which ends with the hub, however that ends
c.JupyterHub.services = [{"name": "idle", "command": [*python, "-m", "jupyterhub_idle_culler", f"--timeout={idle}"]}]
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles = [{"name": "idle", "scopes": scopes, "services": ["idle"]}]

# ---- The overview, where there are instructors. Learners' checks reach it beside the hub.
if instructors:
    overview = f"http://{here}:8082"
    c.Spawner.environment = {"LAB_CLASS_OVERVIEW": f"{overview}/services/overview/"}
    c.JupyterHub.template_vars = {
        "announcement": "Your instructors see which of the seven tasks you have passed, and can open your lab."
    }
    c.JupyterHub.services.append(
        {
            "name": "overview",
            "url": overview,
            "command": [*python, os.environ["LAB_CLASS_FILES"] + "/overview.py"],
            "environment": {"LAB_CLASS_LEARNERS": json.dumps(sorted(c.Authenticator.allowed_users))},
            "oauth_no_confirm": True,  # it is the hub's own
        }
    )
