"""trec_eval's C code as a process: one question a line on stdin, one answer a line on stdout, both JSON.

Question: `{"measures": ["R(rel=1)@5", ...], "grades": {document: grade}, "run": {document: score}}`; answer: the values
in the order of the measures. The C extension can end its process with a segmentation fault (a run without hits makes it
read freed memory), so it never runs inside the process that runs the tests.
"""

import json
import sys

import ir_measures

for line in sys.stdin:
    question = json.loads(line)
    measures = [ir_measures.parse_measure(name) for name in question["measures"]]
    values = ir_measures.pytrec_eval.calc_aggregate(measures, {"q": question["grades"]}, {"q": question["run"]})
    print(json.dumps([values[measure] for measure in measures]), flush=True)
