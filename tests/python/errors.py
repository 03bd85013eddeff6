"""Makes requests that should fail, with the official SDK, and prints what the SDK makes of each answer.

Arguments: the base URL, and a JSON list of [name, key, body].
"""

import json
import sys

import openai


def main():
    base_url, cases = sys.argv[1], json.loads(sys.argv[2])
    for name, key, body in cases:
        client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)
        said = {"name": name, "class": None}
        try:
            answer = client.chat.completions.create(**body)
            if body.get("stream"):
                for _ in answer:
                    pass
        except openai.APIStatusError as error:
            said.update({"class": type(error).__name__, "status": error.status_code, "code": error.code,
                         "param": error.param, "type": error.type, "message": error.message,
                         "request_id": error.request_id, "retry_after": error.response.headers.get("retry-after"),
                         "should_retry": error.response.headers.get("x-should-retry")})
        except openai.APIError as error:
            said.update({"class": type(error).__name__, "code": error.code, "message": error.message})
        print(json.dumps(said), flush=True)


main()
