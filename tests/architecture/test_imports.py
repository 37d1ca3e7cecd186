"""Imports point one way, and a web process stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "timm", "onnxruntime", "faiss", "sklearn", "openvino", "torchvision"}

WEB = """
import json, sys
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
from django.test import Client
from django.urls import get_resolver
get_resolver().url_patterns
client = Client()
codes = [client.get(path).status_code for path in ("/", "/booru/healthz", "/booru/api/schema/", "/admin/login/")]
import numpy as np
from django.contrib.auth import get_user_model
from deploy.demo.board.models import Post
from embeddings import services
from embeddings.models import Vector
from embeddings.store import encode
person = get_user_model().objects.create_user("somebody")
facts = [{"picture": f"{n}.png", "sha256": f"{n:064x}", "md5": f"{n:032x}"} for n in (1, 2)]
posts = [Post.objects.create(uploader=person, **item) for item in facts]
for post in posts:
    data = encode(np.arange(1, 9) + post.pk)
    Vector.objects.create(post=post, kind="picture", model_version=services.active_version(), data=data)
client.force_login(person)
similar = client.get(f"/booru/api/posts/{posts[0].pk}/similar/").json()["similar"]
asked = client.post("/booru/api/similar/", b"a picture", content_type="image/png")
rss = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(json.dumps({"modules": sorted(sys.modules), "codes": codes, "rss_mib": rss / 1024,
    "similar": len(similar), "asked": [asked.status_code, asked.json()["code"]]}))
"""


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_web_process_loads_no_network_code_and_stays_small(tmp_path: Path) -> None:
    env = {**os.environ, "BOORU_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'web.sqlite3'}"}
    env["DJANGO_SETTINGS_MODULE"] = "deploy.demo.settings"
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    done = subprocess.run([sys.executable, "-c", WEB], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["codes"] == [200, 200, 200, 200]
    assert seen["similar"] == 1
    assert seen["asked"] == [503, "no_worker"]
    assert HEAVY.isdisjoint(seen["modules"])
    assert seen["rss_mib"] <= 160
