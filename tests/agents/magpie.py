"""An agent by py-choria-external alone: messages of its own making."""
import os

from choria_external.dispatcher import dispatch
from choria_external.protocol import ProtocolMessage, Reply


class Said(Reply):
    def __init__(self):
        super().__init__()
        self.members = {}

    def to_json(self):
        import json
        return json.dumps(self.members)


class Message(ProtocolMessage):
    @staticmethod
    def create_reply():
        return Said()

    @classmethod
    def from_json(cls, text):
        import json
        message = cls.__new__(cls)
        message._properties = json.loads(text)
        return message


@ProtocolMessage.register_protocol()
class Activation(Message):
    _protocol = "io.choria.mcorpc.external.v1.activation_request"


@ProtocolMessage.register_protocol()
class Request(Message):
    _protocol = "io.choria.mcorpc.external.v1.rpc_request"


class Magpie:
    @classmethod
    def dispatch(cls, request, reply):
        if isinstance(request, Activation):
            reply.members = {"activate": request.agent == "magpie"}
            return
        with open(os.environ["CHORIA_EXTERNAL_FACTS"]) as facts:
            reply.members = {"statuscode": 0, "data": {"glitters": request.data["what"], "facts": facts.read()}}


if __name__ == "__main__":
    dispatch(Magpie)
