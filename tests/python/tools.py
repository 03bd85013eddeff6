"""Lets a model call two tools at once and gives it their results, with the official SDK: whole and streamed, model by model.

Prints one JSON object per model and form: the calls made, what was said in the end, and the usage.
"""

import json
import sys

import openai


def tool(name, member):
    parameters = {"type": "object", "properties": {member: {"type": "string"}}, "required": [member]}
    return {"type": "function", "function": {"name": name, "description": f"Tells {member}s.", "parameters": parameters}}


TOOLS = [tool("get_weather", "city"), tool("get_time", "zone")]
RESULTS = {"get_weather": '{"celsius": 9, "rain": true}', "get_time": '"14:05"'}


def asked_whole(client, model, messages):
    answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, max_tokens=100)
    message = answer.choices[0].message
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
    return calls, message.content, answer.choices[0].finish_reason, answer.usage.model_dump()


def asked_streamed(client, model, messages):
    """Put together as the SDK's documentation says: by index, arguments appended."""
    calls, text, finish, usage = {}, "", None, None
    options = {"include_usage": True}
    with client.chat.completions.create(model=model, messages=messages, tools=TOOLS, max_tokens=100, stream=True,
                                        stream_options=options) as stream:
        for chunk in stream:
            usage = chunk.usage.model_dump() if chunk.usage else usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for piece in choice.delta.tool_calls or []:
                    call = calls.setdefault(piece.index, [None, None, ""])
                    call[0] = piece.id or call[0]
                    call[1] = piece.function.name or call[1]
                    call[2] += piece.function.arguments or ""
    return [tuple(calls[index]) for index in sorted(calls)], text or None, finish, usage


def main():
    base_url, models = sys.argv[1], sys.argv[2:]
    client = openai.OpenAI(base_url=base_url, api_key="sk-client-secret", max_retries=0, timeout=60)
    for model in models:
        for form, asked in (("whole", asked_whole), ("streamed", asked_streamed)):
            messages = [{"role": "system", "content": "Be brief."},
                        {"role": "user", "content": "Weather and time in Paris?"}]
            calls, text, finish, usage = asked(client, model, messages)
            first = {"calls": [{"name": name, "arguments": json.loads(arguments)} for _, name, arguments in calls],
                     "ids": [id for id, _, _ in calls], "text": text, "finish": finish, "usage": usage}
            messages.append({"role": "assistant", "content": None, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in calls]})
            messages += [{"role": "tool", "tool_call_id": id, "content": RESULTS[name]} for id, name, _ in calls]
            calls, text, finish, usage = asked(client, model, messages)
            second = {"calls": len(calls), "text": text, "finish": finish, "usage": usage}
            print(json.dumps({"model": model, "form": form, "first": first, "second": second}), flush=True)


main()
