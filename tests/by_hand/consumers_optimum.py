"""Label texts with optimum-onnx, in an environment without this package: consumers_optimum.py JOBS.json.

JOBS holds a list of {name, folder, file, texts}. Prints {NAME: [{label, score}, ...], ...} as JSON.
"""

import json
import sys

from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer, pipeline

found = {}
with open(sys.argv[1], encoding="utf-8") as file:
    jobs = json.load(file)
for job in jobs:
    model = ORTModelForSequenceClassification.from_pretrained(job["folder"], file_name=job["file"])
    classify = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(job["folder"]))
    found[job["name"]] = [classify(text, truncation=True)[0] for text in job["texts"]]
sys.stdout.write(json.dumps(found))
