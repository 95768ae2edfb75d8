bind = [":5000"]
workers = 1
threads = 2
