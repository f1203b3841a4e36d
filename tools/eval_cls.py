from resdet.cli.eval_cls import main

if __name__ == "__main__":
    main()
