"""Results in the order in which runs add them: by run and scope, in one index instead of two.

A run adds its results in the order of scopes, so each goes to the end of the index; by scope and
run each went to a place of its own. The results of one scope are still found without reading
others: there are far fewer runs than results, and the server looks once for each.
"""

from django.db import migrations, models

NAME = "run_says_one_thing_of_a_scope"


class Migration(migrations.Migration):
    dependencies = [("margin", "0015_options")]

    operations = [
        migrations.RemoveConstraint("marginresult", NAME),
        migrations.AddConstraint(
            "marginresult", models.UniqueConstraint(name=NAME, fields=["run", "scope"])
        ),
        migrations.RemoveIndex("marginresult", "result_by_run"),
    ]
