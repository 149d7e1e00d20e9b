"""Deviations of real servers from the Videos API: one class each."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from spritz_cli.errors import UsageError
from tests.videos_server.footage import garbage
from tests.videos_server.ledger import Job, Ledger
from tests.videos_server.wire import Call, Fault, Reply, error_reply, json_reply

Document = dict[str, Any]
Proceed = Callable[[], Reply]


@dataclass
class Site:
    """The server as quirks see it. `refusals` is the N of "the first N"."""

    ledger: Ledger
    refusals: int
    base_url: str = ""
    elsewhere_url: str = ""

    def cloud_url(self, job: Job) -> str:
        """The URL of the film on another origin. It works only with this signature."""
        return (
            f"{self.elsewhere_url}/v1/files/{quote(job.id, safe='')}.mp4?signature={signature(job)}"
        )

    def file_url(self, job: Job) -> str:
        """The URL of the film on the origin of the API. It needs the key."""
        return f"{self.base_url}/files/{quote(job.id, safe='')}.mp4?alt=media"


class Quirk:
    """The API as documented: no hook changes anything."""

    #: Whether the body of a POST is read first.
    reads_body = True
    #: Whether it rewords the answers of other quirks. It is then applied last.
    rewords = False

    def __init__(self, site: Site) -> None:
        self.site = site

    def key(self, call: Call, bearer: str | None) -> str | None:
        """Return the key of the call."""
        return bearer

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        """Answer `call`; `proceed()` executes it, for a POST by creating the job."""
        return proceed()

    def name(self, job_id: str, model: str) -> str:
        """Return the public id of a new job."""
        return job_id

    def remembers(self, job: Job) -> bool:
        return True

    def film(self, seconds: int, size: str) -> tuple[int, str]:
        """Return the length and size to deliver instead of the ordered ones."""
        return seconds, size

    def document(self, call: Call, job: Job, document: Document) -> Document:
        """Return the document of a job in the answer to `call`."""
        return document

    def reply(self, call: Call, reply: Reply) -> Reply:
        """Return the final reply, which may be an error."""
        return reply


def signature(job: Job) -> str:
    """Return the signature for the film of a job on the other origin."""
    return hashlib.sha256(job.id.encode()).hexdigest()[:16]


# Refused POSTs: no job, no charge.


class _Refusing(Quirk):
    status = 500
    code: str | None = None
    message = "The server had an error while processing your request."
    retry_after: str | None = None
    first_only = False

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if not self._refuses(call):
            return proceed()
        return error_reply(self.status, self.message, self.code, retry_after=self.retry_after)

    def _refuses(self, call: Call) -> bool:
        if call.action != "create":
            return False
        return not self.first_only or self.site.ledger.nth(call) <= self.site.refusals


class Post500Refused(_Refusing):
    """any gateway: POST is 500 and there is no job."""


class SglangWarmingUp(_Refusing):
    """SGLang: the first POSTs are 503 with Retry-After while the model loads."""

    status, message, retry_after, first_only = 503, "Server is warming up.", "1", True


class RateLimited(_Refusing):
    """OpenAI: the first POSTs are 429 with Retry-After."""

    status, code, message = 429, "rate_limit_exceeded", "Rate limit reached for requests."
    retry_after, first_only = "1", True


class RateLimitedAlways(_Refusing):
    """OpenAI: every POST is 429 with Retry-After."""

    status, code, message = 429, "rate_limit_exceeded", "Rate limit reached for requests."
    retry_after = "1"


class InsufficientQuota(_Refusing):
    """OpenAI: POST is 429 insufficient_quota; waiting does not help."""

    status, code = 429, "insufficient_quota"
    message = "You exceeded your current quota, please check your plan and billing details."


class PaymentRequired(_Refusing):
    """OpenRouter and resellers: POST is 402 when the credit is used up."""

    status, code, message = 402, "402", "Insufficient credits."


class ModerationAtPost(_Refusing):
    """OpenAI: POST is 400 moderation_blocked."""

    status, code = 400, "moderation_blocked"
    message = "Your request was blocked by our moderation system."


class BadKey(_Refusing):
    """OpenAI: every request is 401, whatever the key."""

    status, code, message = 401, "invalid_api_key", "Incorrect API key provided."

    def _refuses(self, call: Call) -> bool:
        return True


class SglangIntSeconds(_Refusing):
    """SGLang, LLMGateway: `seconds` in JSON must be a number; a text is 422."""

    status, message = 422, "Input should be a valid integer: seconds"

    def _refuses(self, call: Call) -> bool:
        return (
            call.action == "create" and call.is_json and isinstance(call.fields.get("seconds"), str)
        )


class OpenAIStrict(_Refusing):
    """OpenAI: `seconds` must be the text 4, 8 or 12, and `size` one of four."""

    status, code, message = 400, "invalid_value", "Invalid value: 'seconds' or 'size'."

    def _refuses(self, call: Call) -> bool:
        seconds, size = call.fields.get("seconds", "4"), call.fields.get("size", "720x1280")
        sizes = ("720x1280", "1280x720", "1024x1792", "1792x1024")
        return call.action == "create" and (seconds not in ("4", "8", "12") or size not in sizes)


class VllmMultipartOnly(Quirk):
    """vLLM-Omni: a POST with JSON is 422, only a form is read."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.action != "create" or call.is_multipart:
            return proceed()
        detail = [{"type": "missing", "loc": ["body", "prompt"], "msg": "Field required"}]
        return json_reply({"detail": detail}, 422)


class ResetBeforeReading(Quirk):
    """any network: POST is reset before its body is read, and there is no job."""

    reads_body = False

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        return _faulty("reset") if call.action == "create" else proceed()


# Accepted and charged POSTs whose answer does not show it.


class _Hiding(Quirk):
    """Creates the job, then gives another answer."""

    answer = Reply(500)

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        reply = proceed()
        return self.answer if call.action == "create" and reply.accepted else reply


class Post500Created(_Hiding):
    """any gateway: POST is 500 although the job exists and is charged."""

    answer = error_reply(500, "The server had an error while processing your request.")


class ResetAfterPost(_Hiding):
    """any network: the job is created and charged, then the connection is reset."""

    answer = Reply(0, fault="reset")


class SlowPostTimeout(_Hiding):
    """any overloaded server: the job is created and charged, the answer never comes."""

    answer = Reply(0, fault="hold")


class Html200(_Hiding):
    """any proxy: POST is 200 with a web page; the job behind it exists and is charged."""

    answer = Reply(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"})


class Html200Refused(Quirk):
    """a wrong base url: every request is 200 with a web page, and there is no job."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        return Html200.answer


# States of jobs.


class _Failing(Quirk):
    """Every job fails instead of completing."""

    status = "failed"
    error: Mapping[str, Any] = {}

    def document(self, call: Call, job: Job, document: Document) -> Document:
        if not _completed(document):
            return document
        return {**document, "status": self.status, "completed_at": None, "error": self.error}


class JobFails(_Failing):
    """OpenAI: the job fails with server_error."""

    error: Mapping[str, Any] = {"code": "server_error", "message": "Video generation failed."}


class ModerationInJob(_Failing):
    """OpenAI: the job fails with moderation_blocked."""

    error: Mapping[str, Any] = {
        "code": "moderation_blocked",
        "message": "The generated video was blocked by our moderation system.",
    }


class SglangErrorWithoutCode(_Failing):
    """SGLang: the job fails with an error that has a message and no code."""

    error: Mapping[str, Any] = {"message": "CUDA out of memory."}


class VllmFailedAs500(_Failing):
    """vLLM-Omni: GET of a failed job is HTTP 500 with the job's JSON, its code a number."""

    error: Mapping[str, Any] = {"code": 500, "message": "Video generation failed."}

    def reply(self, call: Call, reply: Reply) -> Reply:
        failed = call.action == "show" and reply.document.get("status") == "failed"
        return replace(reply, status=500) if failed else reply


class JobExpires(_Failing):
    """OpenRouter, xAI: the job ends as "expired"."""

    status = "expired"
    error: Mapping[str, Any] = {"code": "expired", "message": "The job expired in the queue."}


class NeverFinishes(Quirk):
    """any overloaded server: the job stays in_progress at 40%."""

    def document(self, call: Call, job: Job, document: Document) -> Document:
        if not _completed(document):
            return document
        return {**document, "status": "in_progress", "progress": 40, "completed_at": None}


class UnknownStatus(Quirk):
    """a server newer than its clients: "warming" until the job completes."""

    rewords = True

    def document(self, call: Call, job: Job, document: Document) -> Document:
        return document if _ended(document) else {**document, "status": "warming"}


class VllmForgets(Quirk):
    """vLLM-Omni, SGLang: jobs live in memory; after a restart they are 404 and not listed."""

    def remembers(self, job: Job) -> bool:
        return job.run == self.site.ledger.run


class LitellmProcessing(Quirk):
    """LiteLLM in front of Veo: "processing", and four fields are missing."""

    rewords = True
    missing = ("created_at", "size", "seconds", "progress")

    def document(self, call: Call, job: Job, document: Document) -> Document:
        kept = {name: value for name, value in document.items() if name not in self.missing}
        return kept if _ended(document) else {**kept, "status": "processing"}


class LitellmDriftingIds(Quirk):
    """LiteLLM 1.105: each poll shows another id; only the one from create works, others are 500."""

    rewords = True

    def name(self, job_id: str, model: str) -> str:
        return _litellm_id(model, job_id)

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.job_id and self.site.ledger.job(call.job_id) is None:
            return error_reply(500, "litellm.APIError: OpenAIException - api_base is not set")
        return proceed()

    def document(self, call: Call, job: Job, document: Document) -> Document:
        if call.action != "show":
            return document
        return {**document, "id": _litellm_id("", f"{job.id[-8:]};{self.site.ledger.nth(call)}")}


class FlakyPolls(Quirk):
    """any gateway: the first polls of a job are 502, reset and 429 in turn."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        answers = {
            1: error_reply(502, "Bad gateway."),
            2: _faulty("reset"),
            3: error_reply(429, "Rate limit reached for requests.", retry_after="1"),
        }
        if call.action != "show":
            return proceed()
        return answers.get(self.site.ledger.nth(call)) or proceed()


# Errors and lists.


class LitellmWrappedErrors(Quirk):
    """LiteLLM: an error's code is the HTTP status as text, the upstream error is in the message."""

    rewords = True

    def reply(self, call: Call, reply: Reply) -> Reply:
        if reply.status < 400 or {*reply.document} != {"error"}:
            return reply
        headers = {name: value for name, value in reply.headers.items() if name != "Retry-After"}
        if "Retry-After" in reply.headers:
            headers["llm_provider-retry-after"] = reply.headers["Retry-After"]
        message = f"litellm.APIError: OpenAIException - {reply.body.decode()}"
        error = {"message": message, "type": None, "param": None, "code": str(reply.status)}
        return replace(reply, body=json.dumps({"error": error}).encode(), headers=headers)


class ListUnsupported(Quirk):
    """SGLang behind a gateway, Gemini: the list call is 404."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        return error_reply(404, "Not Found") if call.action == "list" else proceed()


class LitellmListRefused(Quirk):
    """LiteLLM: the list call is 400 unless it names a provider."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.action != "list" or "custom_llm_provider" in call.query:
            return proceed()
        return error_reply(400, "custom_llm_provider is required to list videos", "400")


class ListWithoutPrompts(Quirk):
    """many: listed jobs do not show their prompt."""

    rewords = True

    def document(self, call: Call, job: Job, document: Document) -> Document:
        return {**document, "prompt": None} if call.action == "list" else document


class AzureApiKey(Quirk):
    """Azure: the key is read from the header api-key, not from Authorization."""

    def key(self, call: Call, bearer: str | None) -> str | None:
        return call.headers.get("api-key")


# Delivery of films.


class SglangVariant404(Quirk):
    """SGLang: content with any ?variant=, even video, is 404."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.action == "content" and "variant" in call.query:
            return error_reply(404, "Video variant not found.")
        return proceed()


class _ByUrl(Quirk):
    """There is no content to GET; a completed job has the URL of its film."""

    refusal = error_reply(404, "Not Found")

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        reply = proceed()
        return self.refusal if call.action == "content" and reply.accepted else reply

    def document(self, call: Call, job: Job, document: Document) -> Document:
        return {**document, "url": self.url(job)} if _completed(document) else document

    def url(self, job: Job) -> str:
        return self.site.cloud_url(job)


class SglangCloudUrl(_ByUrl):
    """SGLang with cloud storage: content is 400 "Please use the cloud URL", the job has it."""

    refusal = error_reply(400, "Please use the cloud URL: see the url of the job.")


class SignedUrls(_ByUrl):
    """resellers: no content (404), a completed job has a signed url on another origin."""


class Gemini(_ByUrl):
    """Gemini's OpenAI layer: "processing", then a url that needs the key; no content (404)."""

    rewords = True

    def document(self, call: Call, job: Job, document: Document) -> Document:
        if not _ended(document):
            document = {**document, "status": "processing"}
        return super().document(call, job, document)

    def url(self, job: Job) -> str:
        return self.site.file_url(job)


class OpenRouter(Quirk):
    """OpenRouter: JSON only, 202, polling_url, unsigned_urls, usage.cost, errors are texts."""

    rewords = True

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.action == "list":
            return error_reply(404, "Not Found")
        if call.action != "create" or call.is_json:
            return proceed()
        return error_reply(400, "Expected a JSON body.", "400")

    def document(self, call: Call, job: Job, document: Document) -> Document:
        polling_url = f"{self.site.base_url}/videos/{job.id}"
        status = "pending" if document["status"] == "queued" else document["status"]
        shown: Document = {"id": job.id, "polling_url": polling_url, "status": status}
        if _completed(document):
            shown["unsigned_urls"] = [f"{polling_url}/content?index=0"]
            shown["usage"] = {"cost": float(job.charged_usd), "is_byok": False}
        if document["error"]:
            shown["error"] = document["error"]["message"]
        return shown

    def reply(self, call: Call, reply: Reply) -> Reply:
        created = call.action == "create" and reply.status == 200 and reply.document
        return replace(reply, status=202) if created else reply


class RedirectContent(Quirk):
    """new-api: content is a 302 to another path of the same origin, which needs the key."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        return _redirect(call, proceed(), self.site.ledger, self.site.file_url)


class RedirectCrossOrigin(Quirk):
    """AISIX: content is a 302 to a signed url on another origin, which must not see the key."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        return _redirect(call, proceed(), self.site.ledger, self.site.cloud_url)


class CompletesTooEarly(Quirk):
    """many: the job is completed, and its content is still 404 for the first two tries."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        if call.action == "content" and self.site.ledger.nth(call) <= 2:
            return error_reply(404, "Generation is still in-progress")
        return proceed()


class LitellmFailedAsCompleted(Quirk):
    """LiteLLM in front of Veo: a failed job is "completed", and its content is 500."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        reply = proceed()
        if call.action != "content" or not reply.accepted:
            return reply
        return error_reply(500, "No response data in completed operation")


class StrictAccept(Quirk):
    """Prism: content is 406 unless Accept allows video/mp4."""

    def handle(self, call: Call, proceed: Proceed) -> Reply:
        accept = call.headers.get("accept", "*/*")
        if call.action == "content" and not any(one in accept for one in ("*/*", "video/mp4")):
            return error_reply(406, "The requested media type is not available.")
        return proceed()


# Delivered content.


class _Spoiling(Quirk):
    """Damages every delivered film, on any origin."""

    def reply(self, call: Call, reply: Reply) -> Reply:
        return self.spoiled(reply) if reply.is_video else reply

    def spoiled(self, reply: Reply) -> Reply:
        return reply


class JsonAsContent(_Spoiling):
    """any gateway: content is 200 with an error in JSON."""

    def spoiled(self, reply: Reply) -> Reply:
        return json_reply({"error": {"message": "upstream unavailable", "code": "502"}})


class TruncatedBody(_Spoiling):
    """any network: the connection closes after half of the film."""

    def spoiled(self, reply: Reply) -> Reply:
        return replace(reply, fault="truncate")


class EmptyContent(_Spoiling):
    """any gateway: content is 200 with no bytes."""

    def spoiled(self, reply: Reply) -> Reply:
        return replace(reply, body=b"")


class GarbageVideo(_Spoiling):
    """any storage: the film starts like an MP4 and does not decode."""

    def spoiled(self, reply: Reply) -> Reply:
        return replace(reply, body=garbage(reply.body))


class ShortVideo(Quirk):
    """vLLM-Omni: the film has 2 seconds, whatever was ordered and echoed."""

    def film(self, seconds: int, size: str) -> tuple[int, str]:
        return min(2, seconds), size


class WrongSize(Quirk):
    """Veo behind a gateway: width and height are swapped (a square film is smaller)."""

    def film(self, seconds: int, size: str) -> tuple[int, str]:
        width, height = size.split("x")
        return seconds, "640x360" if width == height else f"{height}x{width}"


def _sentence(kind: type[Quirk]) -> str:
    return (kind.__doc__ or kind.__name__).removesuffix(".")


_CLASSES: Mapping[str, type[Quirk]] = {
    "azure_api_key": AzureApiKey,
    "bad_key": BadKey,
    "completes_too_early": CompletesTooEarly,
    "empty_content": EmptyContent,
    "flaky_polls": FlakyPolls,
    "garbage_video": GarbageVideo,
    "gemini": Gemini,
    "html_200": Html200,
    "html_200_refused": Html200Refused,
    "insufficient_quota": InsufficientQuota,
    "job_expires": JobExpires,
    "job_fails": JobFails,
    "json_as_content": JsonAsContent,
    "list_unsupported": ListUnsupported,
    "list_without_prompts": ListWithoutPrompts,
    "litellm_drifting_ids": LitellmDriftingIds,
    "litellm_failed_as_completed": LitellmFailedAsCompleted,
    "litellm_list_refused": LitellmListRefused,
    "litellm_processing": LitellmProcessing,
    "litellm_wrapped_errors": LitellmWrappedErrors,
    "moderation_at_post": ModerationAtPost,
    "moderation_in_job": ModerationInJob,
    "never_finishes": NeverFinishes,
    "openai_strict": OpenAIStrict,
    "openrouter": OpenRouter,
    "payment_required": PaymentRequired,
    "post_500_created": Post500Created,
    "post_500_refused": Post500Refused,
    "rate_limited": RateLimited,
    "rate_limited_always": RateLimitedAlways,
    "redirect_content": RedirectContent,
    "redirect_cross_origin": RedirectCrossOrigin,
    "reset_after_post": ResetAfterPost,
    "reset_before_reading": ResetBeforeReading,
    "sglang_cloud_url": SglangCloudUrl,
    "sglang_error_without_code": SglangErrorWithoutCode,
    "sglang_int_seconds": SglangIntSeconds,
    "sglang_variant_404": SglangVariant404,
    "sglang_warming_up": SglangWarmingUp,
    "short_video": ShortVideo,
    "signed_urls": SignedUrls,
    "slow_post_timeout": SlowPostTimeout,
    "strict_accept": StrictAccept,
    "truncated_body": TruncatedBody,
    "unknown_status": UnknownStatus,
    "vllm_failed_as_500": VllmFailedAs500,
    "vllm_forgets": VllmForgets,
    "vllm_multipart_only": VllmMultipartOnly,
    "wrong_size": WrongSize,
}

#: Name of each quirk -> its servers and its deviation.
QUIRKS: Mapping[str, str] = {name: _sentence(kind) for name, kind in _CLASSES.items()}


def parse_quirks(names: str, site: Site) -> list[Quirk]:
    """Return the quirks of a comma-separated list; UsageError for an unknown name."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return sorted((_quirk(name)(site) for name in wanted), key=lambda quirk: quirk.rewords)


def _quirk(name: str) -> type[Quirk]:
    if name in _CLASSES:
        return _CLASSES[name]
    close = difflib.get_close_matches(name, _CLASSES, n=1) or sorted(_CLASSES)
    raise UsageError(f"no quirk is called `{name}`", hint=f"Did you mean {', '.join(close)}?")


def _faulty(fault: Fault) -> Reply:
    return Reply(0, fault=fault)


def _completed(document: Document) -> bool:
    return bool(document["status"] == "completed")


def _ended(document: Document) -> bool:
    return document["status"] in ("completed", "failed", "expired")


def _litellm_id(model: str, job_id: str) -> str:
    text = f"litellm:custom_llm_provider:openai;model_id:{model};video_id:{job_id}"
    return "video_" + base64.b64encode(text.encode()).decode()


def _redirect(call: Call, reply: Reply, ledger: Ledger, url: Callable[[Job], str]) -> Reply:
    job = ledger.job(call.job_id)
    if call.action != "content" or not reply.accepted or job is None:
        return reply
    return Reply(302, headers={"Location": url(job)})
