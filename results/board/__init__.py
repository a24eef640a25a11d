"""Boards of a frozen suite: submissions, their scores and ranks, and the site."""

from __future__ import annotations
