from resdet.cli.eval_voc import main

main()
