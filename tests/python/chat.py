"""Asks many chat questions with the official SDK and prints one JSON object per answer.

Every prompt is asked twice, once whole and once as a stream. It goes on, over and over, at a steady rate, until its
standard input is closed and at least --at-least answers have come. Nothing is retried here: what the router lets through
is seen.
"""

import argparse
import asyncio
import glob
import gzip
import json
import os
import sys
import time

import openai

HEADERS = ("x-request-id", "x-router-model", "x-router-deployment", "x-router-rule", "x-router-attempts",
           "x-router-cost-usd")


def own_prompts(path):
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["name"], row["body"]) for row in rows]


def data_prompts(folder, count):
    """So many prompts from all files of a data folder, the same number of each, evenly spaced."""
    files = sorted(glob.glob(os.path.join(folder, "outcomes", "*.jsonl.gz")))
    files += sorted(glob.glob(os.path.join(folder, "tasks", "*.jsonl.gz")))
    if not files:
        raise SystemExit(f"{folder}: no outcomes/*.jsonl.gz and no tasks/*.jsonl.gz")
    prompts = []
    for at, path in enumerate(files):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        share = count // len(files) + (at < count % len(files))
        for n in range(share):
            row = rows[n * len(rows) // share]
            name = f"{row['source']}/{row.get('id', n)}"
            prompts.append((name, {"messages": [{"role": "user", "content": row["prompt"]}]}))
    return prompts


def usage_of(usage):
    return None if usage is None else usage.model_dump()


async def whole(client, body, result):
    raw = await client.chat.completions.with_raw_response.create(**body)
    result["headers"] = {name: raw.headers[name] for name in HEADERS if name in raw.headers}
    answer = raw.parse()
    choice = answer.choices[0]
    result["text"] = choice.message.content or ""
    result["finish"] = choice.finish_reason
    result["usage"] = usage_of(answer.usage)


async def streamed(client, body, result, with_usage):
    if with_usage:
        body = {**body, "stream_options": {"include_usage": True}}
    raw = await client.chat.completions.with_raw_response.create(**body, stream=True)
    result["headers"] = {name: raw.headers[name] for name in HEADERS if name in raw.headers}
    async for chunk in raw.parse():
        if chunk.usage is not None:
            result["usage"] = usage_of(chunk.usage)
        for choice in chunk.choices:
            result["text"] += choice.delta.content or ""
            result["finish"] = choice.finish_reason or result["finish"]


async def ask(client, number, name, body):
    stream = number % 2 == 1
    result = {"prompt": name, "stream": stream, "asked_usage": not stream or number % 4 == 1, "ok": False, "error": None,
              "text": "", "finish": None, "usage": None, "headers": {}}
    begin = time.monotonic()
    try:
        if stream:
            await streamed(client, body, result, result["asked_usage"])
        else:
            await whole(client, body, result)
        result["ok"] = True
    except openai.OpenAIError as error:
        result["error"] = {"class": type(error).__name__, "code": getattr(error, "code", None), "text": str(error)}
    result["seconds"] = time.monotonic() - begin
    print(json.dumps(result), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--prompts")
    parser.add_argument("--data")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--at-least", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rate", type=float, default=50.0)
    args = parser.parse_args()
    prompts = data_prompts(args.data, args.count) if args.data else own_prompts(args.prompts)
    client = openai.AsyncOpenAI(base_url=args.base_url, api_key="sk-client-secret", max_retries=0, timeout=120)
    at_least = max(args.at_least, 2 * len(prompts))
    closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    begin, issued = time.monotonic(), 0

    async def worker():
        nonlocal issued
        while issued < at_least or not closed.done():
            number, issued = issued, issued + 1
            await asyncio.sleep(max(0.0, begin + number / args.rate - time.monotonic()))
            name, body = prompts[number // 2 % len(prompts)]
            await ask(client, number, name, {"model": "auto", **body})

    await asyncio.gather(*(worker() for _ in range(args.concurrency)))
    await client.close()


asyncio.run(main())
