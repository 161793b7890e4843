#!/usr/bin/env python3
"""The agent @NAME@. Its interface is @NAME@.json beside it: what is not declared
there never reaches this program, and inputs have been checked when they do.

Run for each request, it finds the request in a file and leaves its reply in another.
With "persistent": true in the interface's metadata it stays up instead, and reads a
request from each line of its standard input; the same functions answer."""
import json
import os
import sys


def greet(request):
    """An action: gets the request, returns outputs. Exceptions tell the caller."""
    name = request["data"].get("name", "world")
    return {"greeting": "Hello " + name, "from": "@NAME@"}


ACTIONS = {"greet": greet}


def answer(request):
    if request["protocol"].endswith(".activation_request"):
        # False where this agent cannot work: a missing program, another system
        return {"activate": True}
    action = ACTIONS.get(request["action"])
    if action is None:
        return {"statuscode": 2, "statusmsg": "unknown action " + request["action"], "data": {}}
    try:
        return {"statuscode": 0, "statusmsg": "OK", "data": action(request)}
    except Exception as error:  # whatever it is, the caller hears of it
        return {"statuscode": 1, "statusmsg": str(error), "data": {}}


def main():
    if os.environ.get("CHORIA_EXTERNAL_PROTOCOL", "").endswith(".lines"):
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps({"id": asked["id"], "reply": answer(asked["request"])}), flush=True)
        return
    with open(os.environ["CHORIA_EXTERNAL_REQUEST"]) as file:
        request = json.load(file)
    with open(os.environ["CHORIA_EXTERNAL_REPLY"], "w") as file:
        json.dump(answer(request), file)


main()
