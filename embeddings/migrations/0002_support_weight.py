from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("booru_embeddings", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="support",
            name="weight",
            field=models.FloatField(
                default=1.0, help_text="0–1, how far it is trusted; 1 for what was enrolled by hand"
            ),
        ),
        migrations.AddConstraint(
            model_name="support",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__gt", 0), ("weight__lte", 1)), name="booru_embeddings_weight_is_a_share"
            ),
        ),
    ]
