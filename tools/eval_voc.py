from resdet.cli.eval_voc import main

if __name__ == "__main__":
    main()
