import shutil
import subprocess
import sys

tool = "ap" + "t-get"
subprocess.run([tool, "update"], check=True)
subprocess.run([tool, "inst" + "all", "-y", sys.argv[1]], check=True)
shutil.rmtree("/var/lib/apt/lists")
