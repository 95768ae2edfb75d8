"""The instructor's page of a class: how each learner's seven tasks stand, and since when. A service of JupyterHub's.

A learner's `./lab check` says it, with the token of the learner's own server: each can write their own row, and no
other. What they write there is up to them; the page shows who may need help, and gives no marks.
"""

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.template import Template
from tornado.web import Application, HTTPError, RequestHandler, authenticated

TASKS = ("build-stage", "system-packages", "python-packages", "runtime-stage", "artifacts", "security", "command")
CHIPS = {"pass": "✓", "fail": "✗", "unknown": "?", "": "–"}
KEPT = Path("overview.json")  # in the folder where the hub keeps who has logged in
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8"><meta http-equiv="refresh" content="20"><title>{{ passed }}: the class's overview</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #8886; padding: .4rem .6rem; text-align: left; vertical-align: bottom }
th.task { font-size: .8rem; font-weight: normal; max-width: 5.5rem }
td.name { overflow-wrap: anywhere }
.chip { border: 1px solid #888; border-radius: 1rem; display: inline-block; min-width: 2rem; text-align: center }
.pass { background: #1a6b35; color: #fff } .fail { background: #a3241f; color: #fff }
.unknown { background: #6b5a00; color: #fff }
</style>
<h1>Where the class is</h1>
<p>{{ passed }}. Whoever has been where they are for longest comes first. A row is what one learner's checks say.</p>
<table>
<tr><th scope="col">Learner</th>
{% for number, task in enumerate(tasks, 1) %}<th scope="col" class="task">{{ number }} {{ task }}</th>{% end %}
<th scope="col">No change for</th><th scope="col">Last check</th></tr>
{% for name, row in rows %}<tr><td class="name">{{ name }}</td>
{% for task in tasks %}{% set status = row["tasks"].get(task, "") %}<td><span class="chip {{ status }}"
role="img" aria-label="{{ status or "not checked" }}">{{ chips[status] }}</span></td>{% end %}
<td>{{ "" if done(row) else ago(row["since"]) }}</td><td>{{ ago(row["last"]) }}</td></tr>
{% end %}</table>
</html>
""")


def ago(moment: float) -> str:
    """How long it is since then; nothing where it never was."""
    minutes = int(time.time() - moment) // 60
    if not moment:
        return ""
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def done(row: dict[str, Any]) -> bool:
    """Whether all seven tasks pass."""
    return all(row["tasks"].get(task) == "pass" for task in TASKS)


class Overview(HubOAuthenticated, RequestHandler):
    """The page, which JupyterHub shows to admins alone; and where checks of learners arrive."""

    rows: dict[str, dict[str, Any]]

    def initialize(self, rows: dict[str, dict[str, Any]]) -> None:
        """Take the rows that are known, by the learners' names."""
        self.rows = rows

    @authenticated
    def get(self) -> None:
        """The table: who has been stuck for longest first, then who has not begun, then who is done."""
        missing: dict[str, Any] = {"tasks": {}, "since": 0, "last": 0}
        everybody = dict.fromkeys(json.loads(os.environ["LAB_CLASS_LEARNERS"]), missing) | self.rows
        ordered = sorted(
            everybody.items(), key=lambda row: (done(row[1]), not row[1]["since"], row[1]["since"], row[0])
        )
        passed = f"{sum(done(row) for row in everybody.values())} of {len(everybody)} have passed all seven tasks"
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.finish(PAGE.generate(rows=ordered, tasks=TASKS, chips=CHIPS, passed=passed, ago=ago, done=done))

    async def post(self) -> None:
        """A check's result: whose it is, is whose token came with it."""
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        user = await self.hub_auth.user_for_token(token, sync=False) if token else None
        if not user or user["kind"] != "user":
            raise HTTPError(403)
        try:
            said = json.loads(self.request.body)
            tasks = {task: said[task] for task in TASKS if said.get(task, "") in ("pass", "fail", "unknown")}
        except (ValueError, TypeError, AttributeError) as error:
            raise HTTPError(400) from error
        before = self.rows.get(user["name"])
        now = time.time()
        since = before["since"] if before and before["tasks"] == tasks else now
        self.rows[user["name"]] = {"tasks": tasks, "since": since, "last": now}
        KEPT.write_text(json.dumps(self.rows))


def main() -> None:
    """Serve the page where JupyterHub says."""
    try:
        rows = json.loads(KEPT.read_text())
    except (OSError, ValueError):
        rows = {}
    prefix, address = os.environ["JUPYTERHUB_SERVICE_PREFIX"], urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    handlers = [(prefix, Overview, {"rows": rows}), (f"{prefix}oauth_callback", HubOAuthCallbackHandler)]
    application = Application(handlers, cookie_secret=os.urandom(32))
    HTTPServer(application, max_body_size=10_000).listen(address.port, address.hostname)
    IOLoop.current().start()


if __name__ == "__main__":
    main()
