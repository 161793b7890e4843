"""A discovery by py-choria-discovery: those of a list that are asked for by a site."""
from choria_discovery.discovery import Discovery
from choria_external.dispatcher import dispatch


class Crow(Discovery):
    def discover(self):
        facts = {fact["fact"]: fact["value"] for fact in self.request.filter["fact"]}
        if "site" not in facts:
            self.reply.fail("a crow flies to a site, give -F site=NAME")
            return
        known = {"one": ["n1.example.net", "n2.example.net"], "two": ["n3.example.net"]}
        self.reply.nodes = known.get(facts["site"], []) + self.request.options.get("also", "").split()


if __name__ == "__main__":
    dispatch(Crow)
