"""Run the other arm where it can do no harm: pool, fork server, tools that are answered and not executed, guard."""
