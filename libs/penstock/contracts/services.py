"""The names of the services: who answers and who may ask."""

GATEWAY = "gateway"
ROUTER = "router"
TOOLS = "tool_executor"
CONTEXT = "context"
ORCHESTRATOR = "orchestrator"
POLICY = "policy"
AUDIT = "audit"
SERVICES = (GATEWAY, ROUTER, TOOLS, CONTEXT, ORCHESTRATOR, POLICY, AUDIT)
DATA_PLANE = (GATEWAY, ROUTER, TOOLS, CONTEXT, ORCHESTRATOR)
