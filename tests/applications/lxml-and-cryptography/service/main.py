"""Signs documents, and reads certificates."""

import ssl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lxml import etree
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def status(request):
    return JSONResponse({"status": "ok", "certificates": ssl.create_default_context().cert_store_stats()["x509_ca"]})


async def signed(request):
    key = Ed25519PrivateKey.generate()
    signature = key.sign(b"document")
    key.public_key().verify(signature, b"document")
    document = etree.fromstring("<signed><by>me</by></signed>")
    style = etree.XSLT(
        etree.fromstring("""<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform">
        <x:template match="/"><by><x:value-of select="//by"/></by></x:template></x:stylesheet>""")
    )
    return Response(etree.tostring(style(document)), media_type="application/xml")


async def described(request):
    return JSONResponse({"openapi": "3.1.0", "paths": {"/signed": {"get": {}}, "/status": {"get": {}}}})


app = Starlette(routes=[Route("/status", status), Route("/signed", signed), Route("/openapi.json", described)])
