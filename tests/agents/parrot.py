"""An agent by py-mco-agent, written as its authors show it."""
from choria_external.dispatcher import dispatch
from mco_agent import Agent, action, register_actions


@register_actions
class Parrot(Agent):
    @staticmethod
    def should_activate():
        return True

    @action
    def echo(self):
        prefix = self.config.get("prefix", "")
        self.reply.data["message"] = prefix + self.request.data["message"]
        self.reply.data["caller"] = self.request.callerid

    @action
    def fail(self):
        self.reply.fail(3, "no message, no echo")

    @action
    def crash(self):
        raise RuntimeError("the perch broke")


if __name__ == "__main__":
    dispatch(Parrot)
