import os
import pwd

user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execvp("gunicorn", ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"])  # becomes it
