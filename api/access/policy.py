"""One place that says what each route needs. What is not named here is refused: a new route cannot be open by mistake.

Everything but PUBLIC needs a key. Reading needs the scope `read`, unless ADMIN names it. A route that changes something must
stand in CHANGES.
"""

from __future__ import annotations

from core.access.scopes import Scope

# Probes, and what a browser needs to sign in and out. Paths as their routes declare them.
PUBLIC = frozenset({"/healthz", "/readyz", "/sign-in", "/sign-out", "/static/{name}"})

ADMIN_PATHS = ("/metrics", "/admin", "/v1/admin")

CHANGES = {
    ("POST", "/v1/jobs"): Scope.SUBMIT,
    ("PUT", "/v1/jobs"): Scope.SUBMIT,
    ("POST", "/v1/jobs/"): Scope.SUBMIT,
    ("PUT", "/v1/jobs/"): Scope.SUBMIT,
    ("PUT", "/v1/jobs/{filename}"): Scope.SUBMIT,
    ("POST", "/v1/jobs/{job_id}/cancel"): Scope.SUBMIT,
    ("POST", "/v1/jobs/{job_id}/retry"): Scope.SUBMIT,
    ("DELETE", "/v1/jobs/{job_id}"): Scope.SUBMIT,
    ("PUT", "/v1/jobs/{job_id}/tags"): Scope.SUBMIT,
    ("PUT", "/v1/jobs/{job_id}/items/{item_no}/decision"): Scope.REVIEW,
    ("POST", "/v1/jobs/{job_id}/decisions"): Scope.REVIEW,
    ("POST", "/v1/jobs/{job_id}/reviewers"): Scope.REVIEW,
    ("PUT", "/v1/jobs/{job_id}/truth"): Scope.REVIEW,
    ("DELETE", "/v1/jobs/{job_id}/truth"): Scope.REVIEW,
    ("POST", "/jobs/{job_id}/report"): Scope.REVIEW,
    ("POST", "/v1/classify"): Scope.SUBMIT,
    ("OPTIONS", "/v1/uploads"): Scope.READ,
    ("POST", "/v1/uploads"): Scope.SUBMIT,
    ("PATCH", "/v1/uploads/{upload_id}"): Scope.SUBMIT,
    ("DELETE", "/v1/uploads/{upload_id}"): Scope.SUBMIT,
    ("POST", "/v1/webhooks"): Scope.SUBMIT,
    ("DELETE", "/v1/webhooks/{webhook_id}"): Scope.SUBMIT,
    ("POST", "/v1/webhooks/{webhook_id}/rotate"): Scope.SUBMIT,
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"): Scope.SUBMIT,
}


def needed_scope(method: str, path: str) -> Scope:
    """The scope that a route needs.

    Args:
        method: GET, POST, …
        path: as the route declares it: `/v1/jobs/{job_id}`.

    Raises:
        LookupError: it changes something, and nobody has said who may.
    """
    if any(path == each or path.startswith(f"{each}/") for each in ADMIN_PATHS):
        return Scope.ADMIN
    if method in ("GET", "HEAD"):
        return Scope.READ
    if (method, path) not in CHANGES:
        raise LookupError(f"api/access/policy.py does not say which scope {method} {path} needs: add it to CHANGES")
    return CHANGES[(method, path)]
