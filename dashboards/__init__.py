"""Grafana's dashboards and alert rules, as data: `python -m dashboards` writes them into grafana/, as the JSON that
Grafana reads. What is written is committed; a test says when it is not what this package would write.
"""
