flask --app app.wsgi run --port 5001 &
exec gunicorn --bind 0.0.0.0:5000 front:application
