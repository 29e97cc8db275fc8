"""Shadow evaluation of LLM, RAG and agent pipelines."""
