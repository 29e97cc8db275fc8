"""LangChain and LangGraph: the recorder's side, the mirror's side and the candidate's side."""
