"""Signing in by the firm's identity provider (OpenID Connect): the code flow, and nothing else.

Off unless it is configured. It says who somebody is; who may come in, as whom, and with which
roles stands here and not there.
"""
