import urllib.error
import urllib.request


def application(environ, start_response):
    url = "http://127.0.0.1:5001" + environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", "")
    try:
        with urllib.request.urlopen(url) as answer:
            body, status, kind = answer.read(), answer.status, answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        body, status, kind = error.read(), error.code, error.headers["Content-Type"]
    start_response(f"{status} OK", [("Content-Type", kind)])
    return [body]
