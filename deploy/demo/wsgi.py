"""``gunicorn deploy.demo.wsgi``"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.demo.settings")
application = get_wsgi_application()
