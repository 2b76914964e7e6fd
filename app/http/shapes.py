"""Documented shapes that more than one resource answers with."""

import marshmallow as ma

from app.http.fields import Moment


class AccountSchema(ma.Schema):
    id = ma.fields.UUID(required=True)
    handle = ma.fields.String(required=True)
    display_name = ma.fields.String(required=True)
    bio = ma.fields.String(required=True)
    image_url = ma.fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    version = ma.fields.Integer(required=True)
