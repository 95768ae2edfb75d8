"""Learns iris flowers, and remembers in a database that lives in memory."""

import sqlite3

from flask import Flask, jsonify
from scipy import linalg, stats
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

app = Flask(__name__)


@app.route("/status")
def status():
    return jsonify(status="ok", sqlite=sqlite3.connect(":memory:").execute("select 1").fetchone()[0])


@app.route("/learned")
def learned():
    x, y = load_iris(return_X_y=True)
    scores = cross_val_score(RandomForestClassifier(10, random_state=0), x, y, cv=3)
    found = stats.ttest_1samp(scores, 0.5)
    return jsonify(score=float(scores.mean()), p=float(found.pvalue), determinant=linalg.det([[1, 2], [3, 4]]))
