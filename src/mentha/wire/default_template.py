"""The system template of agents that bring none of their own.

Clients read it as the default of `default_system_template`, so it is written for people. Its slots, in order: the agent's name and
description, the user, the situation, the instructions, the recalled documents. `docs/templates.md` explains the variables.
"""

DEFAULT_SYSTEM_TEMPLATE = """\
{% if agent.name %}
Your name is {{ agent.name }}.
{% endif %}
{% if agent.about %}
This describes you: {{ agent.about }}
{% endif %}
{% if user %}
You are in a conversation with {{ user.name or "a user" }}.{% if user.about %} This describes them: {{ user.about }}{% endif +%}
{% endif %}

{% if session.situation %}
Situation: {{ session.situation }}
{% endif %}


{% if agent.instructions is string and agent.instructions %}
Instructions:
{{ agent.instructions }}

{% elif agent.instructions %}
Instructions:
{% for instruction in agent.instructions %}
- {{ instruction }}
{% endfor %}

{% endif %}
{% if docs %}
Relevant documents:
{% for doc in docs %}
{{ doc.title }}
{% if doc.content is string %}
{{ doc.content }}
{% else %}
{% for snippet in doc.content or [] %}
{{ snippet }}
{% endfor %}
{% endif %}
---
{% endfor %}
{% endif %}
"""
