"""Microsoft's Python libraries against a daemon: record, poll, download; what is refused. `BASE TOKEN SDK` on the command line,
SDK being `msgraph_beta` or `msgraph`; the latter has neither record nor reasons any more."""

import asyncio
import importlib
import sys
import time

import httpx
from kiota_abstractions.api_error import APIError
from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator, BaseBearerTokenAuthenticationProvider

base, token, sdk = sys.argv[1:]
graph = importlib.import_module(sdk)
models = f"{sdk}.generated.models"


def model(module, name):
    return getattr(importlib.import_module(f"{models}.{module}"), name)


RecordOperation = model("record_operation", "RecordOperation")
OperationStatus = model("operation_status", "OperationStatus")
ODataError = model("o_data_errors.o_data_error", "ODataError")


def body(action):
    module = f"{sdk}.generated.communications.calls.item.{action}.{action}_post_request_body"
    name = "".join(word.capitalize() for word in action.split("_")) + "PostRequestBody"
    return getattr(importlib.import_module(module), name)


class Token(AccessTokenProvider):
    """No host is named, so that none is refused, nor plain http on loopback."""

    def __init__(self, token):
        self.token = token

    async def get_authorization_token(self, uri, additional_authentication_context={}):
        return self.token

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([])


def client(token, version="beta"):
    authentication = BaseBearerTokenAuthenticationProvider(Token(token))
    adapter = graph.GraphRequestAdapter(authentication)
    # Before the client is built: that copies it.
    adapter.base_url = f"{base}/{version}"
    return graph.GraphServiceClient(request_adapter=adapter)


async def refused(request, status, code):
    try:
        await request
    except ODataError as error:
        assert (error.response_status_code, error.error.code) == (status, code), error
        assert error.error.inner_error.request_id, error
    except APIError as error:
        raise AssertionError(f"an error without a type: {error}")
    else:
        raise AssertionError(f"{code} was expected")


async def ended(call, operation):
    assert isinstance(operation, RecordOperation), operation
    by = time.monotonic() + 10
    while operation.status not in (OperationStatus.Completed, OperationStatus.Failed):
        assert operation.status in (OperationStatus.NotStarted, OperationStatus.Running), operation.status
        assert time.monotonic() < by, "it did not end within 10 s"
        await asyncio.sleep(0.05)
        operation = await call.operations.by_comms_operation_id(operation.id).get()
        assert isinstance(operation, RecordOperation), operation
    return operation


async def records(action):
    call = client(token).communications.calls.by_call_id("mic")
    asked = body(action)(stop_tones=["#"], play_beep=False, max_silence_timeout_in_seconds=4, client_context=sdk)
    operation = await ended(call, await getattr(call, action).post(asked))
    assert operation.status == OperationStatus.Completed, operation.result_info
    if sdk == "msgraph_beta":
        assert operation.completion_reason == model("record_completion_reason", "RecordCompletionReason").StopToneDetected
    else:
        assert operation.additional_data["completionReason"] == "stopToneDetected"
    assert (operation.client_context, operation.result_info.subcode) == (sdk, 8514)
    headers = {"Authorization": f"Bearer {operation.recording_access_token}"}
    audio = httpx.get(operation.recording_location, headers=headers, trust_env=False)
    assert len(audio.content) == operation.additional_data["recording"]["bytes"]


async def refusals(action):
    graph = client(token)
    call = graph.communications.calls.by_call_id("mic")
    await refused(getattr(call, action).post(body(action)(max_silence_timeout_in_seconds=0)), 400, "invalidRequest")
    await refused(graph.communications.calls.by_call_id("nobody").get(), 404, "itemNotFound")
    await refused(client("wrong").communications.calls.get(), 401, "unauthenticated")


async def calls():
    graph = client(token)
    Call = model("call", "Call")
    call = await graph.communications.calls.post(Call(subject=sdk, callback_uri="http://127.0.0.1:9/told"))
    assert isinstance(call, Call) and call.subject == sdk
    listed = (await graph.communications.calls.get()).value
    assert {"mic", call.id} <= {one.id for one in listed}, listed
    await graph.communications.calls.by_call_id(call.id).delete()


async def main():
    for action in ["record", "record_response"] if sdk == "msgraph_beta" else ["record_response"]:
        await records(action)
        await refusals(action)
    await calls()


asyncio.run(main())
