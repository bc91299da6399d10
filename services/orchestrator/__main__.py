"""python -m services.orchestrator"""

from services.orchestrator.main import main

main()
