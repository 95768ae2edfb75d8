import json

INFO = {"python": "3.13.5", "process_id": 7, "user_id": 10001, "group_id": 0, "container": "x"}
INFO["packages"] = {"flask": "3.1.3", "gunicorn": "27.0.1"}
STATUS = {"status": "ok", "uptime_seconds": 1.0, "requests_served": 1, "requests_counted_in": "this process"}


def app(environ, start_response):
    answer = {"/status": STATUS, "/info": INFO}.get(environ["PATH_INFO"])
    body = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK" if answer else "404 Not Found", headers)
    return [body]
