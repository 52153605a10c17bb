# What `vllm bench serve` does with a stream: aiohttp, an SSE line at a time, json.loads for
# every chunk, perf_counter stamps, a list of inter-token latencies.
#
#   client.py PORT STREAMS
#
# Prints the chunks and its own CPU time in µs, then "id first_token_wall_ns" a request.
import asyncio
import json
import resource
import sys
import time

import aiohttp


def cpu():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return (r.ru_utime + r.ru_stime) * 1e6


async def request(session, url, i):
    payload = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True,
               "stream_options": {"include_usage": True}}
    out = {"text": "", "itl": [], "ttft": 0.0, "chunks": 0, "first": 0}
    st = time.perf_counter()
    recent = st
    headers = {"X-Request-Id": str(i), "Content-Type": "application/json"}
    async with session.post(url, data=json.dumps(payload, separators=(",", ":")), headers=headers) as response:
        buffer = ""
        async for piece in response.content.iter_any():
            buffer += piece.decode("utf-8")
            while "\n\n" in buffer:
                message, buffer = buffer.split("\n\n", 1)
                message = message.strip()
                if not message.startswith("data:"):
                    continue
                chunk = message.removeprefix("data:").strip()
                if chunk == "[DONE]":
                    continue
                timestamp = time.perf_counter()
                data = json.loads(chunk)
                if choices := data.get("choices"):
                    content = choices[0]["delta"].get("content")
                    if content:
                        out["chunks"] += 1
                        if out["ttft"] == 0.0:
                            out["ttft"] = timestamp - st
                            out["first"] = time.time_ns() - int((time.perf_counter() - timestamp) * 1e9)
                        else:
                            out["itl"].append(timestamp - recent)
                    out["text"] += content or ""
                elif usage := data.get("usage"):
                    out["tokens"] = usage.get("completion_tokens")
                recent = timestamp
    return out


async def main():
    port, streams = int(sys.argv[1]), int(sys.argv[2])
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=6 * 3600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        before = cpu()
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        outs = await asyncio.gather(*[request(session, url, i) for i in range(streams)])
        print(sum(o["chunks"] for o in outs), round(cpu() - before))
        for i, o in enumerate(outs):
            print(i, o["first"])

asyncio.run(main())
