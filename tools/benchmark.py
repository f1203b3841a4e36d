from resdet.cli.benchmark import main

main()
