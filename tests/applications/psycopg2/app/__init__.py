"""Speaks of a database that is not there."""

import os

import psycopg2
from flask import Flask, jsonify
from psycopg2.extensions import adapt, libpq_version

app = Flask(__name__)


@app.get("/status")
def status():
    return jsonify(status="ok", libpq=libpq_version(), greeting=os.environ["GREETING"])


@app.get("/quoted")
def quoted():
    return jsonify([adapt("it's").getquoted().decode("ascii")])


@app.get("/refused")
def refused():
    try:
        psycopg2.connect("host=127.0.0.1 port=1 connect_timeout=1 sslmode=require")
    except psycopg2.OperationalError as error:
        return jsonify(why=str(error)), 503


@app.get("/users/<name>")
def user(name):
    return name
