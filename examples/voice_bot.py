"""A voice bot with Microsoft's own library: asks a question on a line, records the answer, fetches it.

    pip install msgraph-beta-sdk
    TOKEN=… examples/voice_bot.py http://127.0.0.1:8723 front-desk file:question.wav answer.wav

The question is a WAV in the daemon's folder of prompts. The answer may begin before its end; it is over after 2 s of
silence, at a #, or after a minute."""

import asyncio
import os
import sys

import httpx
from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator, BaseBearerTokenAuthenticationProvider
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.communications.calls.item.record.record_post_request_body import RecordPostRequestBody
from msgraph_beta.generated.models.call import Call
from msgraph_beta.generated.models.identity import Identity
from msgraph_beta.generated.models.identity_set import IdentitySet
from msgraph_beta.generated.models.invitation_participant_info import InvitationParticipantInfo
from msgraph_beta.generated.models.media_info import MediaInfo
from msgraph_beta.generated.models.media_prompt import MediaPrompt
from msgraph_beta.generated.models.operation_status import OperationStatus

base, line, question, path = sys.argv[1:]


class Token(AccessTokenProvider):
    async def get_authorization_token(self, uri, additional_authentication_context={}):
        return os.environ["TOKEN"]

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([])


def connect():
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token()))
    # The one line that makes it tonearm; the client copies it.
    adapter.base_url = f"{base}/beta"
    return GraphServiceClient(request_adapter=adapter)


async def main():
    calls = connect().communications.calls
    target = InvitationParticipantInfo(identity=IdentitySet(user=Identity(id=line)))
    opened = await calls.post(Call(targets=[target], subject="voice bot"))
    call = calls.by_call_id(opened.id)
    try:
        asked = RecordPostRequestBody(
            prompts=[MediaPrompt(odata_type="#microsoft.graph.mediaPrompt", media_info=MediaInfo(uri=question))],
            barge_in_allowed=True, stop_tones=["#"], max_silence_timeout_in_seconds=2, max_record_duration_in_seconds=60,
            client_context="the answer")
        operation = await call.record.post(asked)
        while operation.status in (OperationStatus.NotStarted, OperationStatus.Running):
            await asyncio.sleep(0.2)
            operation = await call.operations.by_comms_operation_id(operation.id).get()
        print(f"{operation.completion_reason}: {operation.result_info.message}")
        if operation.status == OperationStatus.Completed:
            headers = {"Authorization": f"Bearer {operation.recording_access_token}"}
            audio = httpx.get(operation.recording_location, headers=headers, trust_env=False).raise_for_status()
            with open(path, "wb") as file:
                file.write(audio.content)
            print(f"{len(audio.content)} bytes in {path}")
    finally:
        await call.delete()


asyncio.run(main())
