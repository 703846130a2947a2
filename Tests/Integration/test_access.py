"""Users, rules and administration from outside: a site with its configuration, and the tools of Debian's Mosquitto."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from support import ports
