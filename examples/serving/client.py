"""A file in, positions out: a client of TensorFlow Serving's REST interface.

    python examples/serving/client.py scan.sxm --surface cu111

The server holds the model; this side reads and prepares the file.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

URL = "http://localhost:8501/v1/models/context:predict"

with tempfile.TemporaryDirectory() as scratch:
    tensors = Path(scratch) / "tensors"
    prepare = ["stmk", "prepare", *sys.argv[1:], "--out", str(tensors)]
    model = ["--model", "saved_models/context"]
    subprocess.run(prepare + model, check=True, stdout=subprocess.DEVNULL)
    body = (tensors / "inputs.json").read_bytes()
request = urllib.request.Request(URL, body, {"Content-Type": "text/json"})
outputs = json.load(urllib.request.urlopen(request))["outputs"]
print("y_nm,x_nm,probability")
for i in range(outputs["count"][0]):
    y, x = outputs["positions_nm"][0][i]
    print(f"{y:.4f},{x:.4f},{outputs['probability'][0][i]:.4f}")
