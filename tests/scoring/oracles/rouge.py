"""ROUGE-L as google-research/rouge computes it (rouge_scorer.py, tokenize.py, no stemmer), by its table of lengths."""

import re


def tokenize(text):
    text = re.sub(r"[^a-z0-9]+", " ", text.lower())
    return [token for token in re.split(r"\s+", text) if re.fullmatch(r"[a-z0-9]+", token)]


def rouge_l(target, prediction):
    target_tokens, prediction_tokens = tokenize(target), tokenize(prediction)
    if not target_tokens or not prediction_tokens:
        return 0.0
    rows, cols = len(target_tokens), len(prediction_tokens)
    lcs_table = [[0] * (cols + 1) for _ in range(rows + 1)]
    for i in range(1, rows + 1):
        for j in range(1, cols + 1):
            if target_tokens[i - 1] == prediction_tokens[j - 1]:
                lcs_table[i][j] = lcs_table[i - 1][j - 1] + 1
            else:
                lcs_table[i][j] = max(lcs_table[i - 1][j], lcs_table[i][j - 1])
    lcs_length = lcs_table[-1][-1]
    precision = lcs_length / cols
    recall = lcs_length / rows
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
