"""Servers of one's own: vLLM, SGLang, transformers or Ollama, started for a run and stopped with it.

settings.py   how a server is started, as its preset says
keeper.py     the process beside that holds it, and ends it however we end
running.py    the servers of this process: started once, watched, kept for the runs that follow
log_errors.py what a server's log says went wrong, and what to do about it
"""
